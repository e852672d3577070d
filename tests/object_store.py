"""An object store on loopback, as far as gcsfs, TensorStore and Google's client speak to one.

Objects lie in memory, one under each name; none can grow, and there are no folders. Of the JSON API
of Cloud Storage it has what checkpoints and logs need: read (also a range, or if it has changed),
write (at once, in parts, or if it is as expected), list, copy, move, delete.
"""

import email
import email.policy
import http.server
import itertools
import json
import re
import threading
import urllib.parse

HOST = "127.0.0.1"
LIST, UPLOAD = re.compile(r"/storage/v1/b/[^/]+/o"), re.compile(r"/upload/storage/v1/b/[^/]+/o")
OBJECT = re.compile(r"(?:/download)?/storage/v1/b/[^/]+/o/([^/]+)")
COPY = re.compile(r"/storage/v1/b/[^/]+/o/([^/]+)/(rewriteTo|copyTo|moveTo)/(?:b/[^/]+/)?o/([^/]+)")
BUCKET = re.compile(r"/storage/v1/b/[^/]+")


class ObjectStore(http.server.ThreadingHTTPServer):
    """Serves one bucket of any name; `objects`: {name: (generation, bytes)}."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__((HOST, 0), Request)
        self.objects, self.uploads = {}, {}
        self.changing, self.generations = threading.Lock(), itertools.count(1)

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        super().__exit__(*error)

    @property
    def environment(self):
        """What makes clients in other processes come here."""
        address = f"http://{HOST}:{self.server_port}"
        return {
            "STORAGE_EMULATOR_HOST": address,
            "TENSORSTORE_GCS_HTTP_URL": address,
            "GOOGLE_CLOUD_PROJECT": "none",
        }


def described(name, generation, content):
    """What the store tells of an object."""
    return {
        "kind": "storage#object",
        "name": name,
        "bucket": "bucket",
        "generation": str(generation),
        "size": str(len(content)),
        "updated": "2000-01-01T00:00:00.000Z",
        "timeCreated": "2000-01-01T00:00:00.000Z",
    }


class Request(http.server.BaseHTTPRequestHandler):
    """One request, which most often changes or reads `self.server.objects`."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        """Say nothing."""

    def handle_any(self):
        """Do what is asked, by the first pattern that the path matches."""
        address = urllib.parse.urlsplit(self.path)
        path = address.path
        self.query = dict(urllib.parse.parse_qsl(address.query))
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if match := COPY.fullmatch(path):
            source, how, target = (urllib.parse.unquote(part) for part in match.groups())
            self.copy(source, how, target)
        elif match := OBJECT.fullmatch(path):
            name = urllib.parse.unquote(match[1])
            {"GET": self.read, "DELETE": self.delete}[self.command](name)
        elif UPLOAD.fullmatch(path):
            self.upload(self.query.get("uploadType"))
        elif LIST.fullmatch(path):
            self.list()
        elif BUCKET.fullmatch(path):
            self.answer(200, {"kind": "storage#bucket", "name": path.rsplit("/", 1)[1]})
        else:
            self.answer(501)

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def answer(self, status, content=b"", **headers):
        """Send bytes, or a dictionary as JSON."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def read(self, name):
        """An object, a part of it, or what is known of it."""
        if name not in self.server.objects:
            return self.answer(404)
        generation, content = self.server.objects[name]
        if self.query.get("ifGenerationNotMatch") == str(generation):
            return self.answer(304)
        if self.query.get("alt") != "media":
            return self.answer(200, described(name, generation, content))
        told = {"x_goog_generation": generation, "x_goog_stored_content_length": len(content)}
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not wanted:
            return self.answer(200, content, **told)
        first, last = wanted.groups()
        start = int(first) if first else len(content) - int(last)
        end = min(int(last) + 1, len(content)) if first and last else len(content)
        if start >= len(content):
            return self.answer(416, **told)
        told["Content_Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        return self.answer(206, content[start:end], **told)

    def store(self, name, content):
        """Keep an object if it is as expected."""
        with self.server.changing:
            generation = self.server.objects.get(name, (0,))[0]
            expected = self.query.get("ifGenerationMatch")
            if expected is not None and int(expected) != generation:
                return self.answer(412)
            kept = self.server.objects[name] = (next(self.server.generations), content)
        return self.answer(200, described(name, *kept))

    def upload(self, how):
        """An object, at once or as a part of one."""
        if "upload_id" in self.query:
            return self.upload_part(self.query["upload_id"])
        if how == "media":
            return self.store(self.query["name"], self.body)
        if how == "multipart":
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            message = email.message_from_bytes(head + self.body, policy=email.policy.HTTP)
            about, content = message.iter_parts()
            return self.store(
                json.loads(about.get_content())["name"], content.get_payload(decode=True)
            )
        about = json.loads(self.body or b"{}")
        name = self.query.get("name") or about["name"]
        upload = str(next(self.server.generations))
        self.server.uploads[upload] = (name, b"")
        address = f"http://{self.headers['Host']}{self.path}&upload_id={upload}"
        return self.answer(200, Location=address)

    def upload_part(self, upload):
        """The next bytes of an object; it is there when the last ones are."""
        name, content = self.server.uploads[upload]
        content += self.body
        self.server.uploads[upload] = (name, content)
        if self.headers.get("Content-Range", "").endswith("/*"):
            return self.answer(308, Range=f"bytes=0-{len(content) - 1}")
        return self.store(name, content)

    def list(self):
        """The objects of a prefix; those below a delimiter as one."""
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter")
        items, prefixes = [], set()
        for name, kept in sorted(self.server.objects.items()):
            rest = name.removeprefix(prefix)
            if not name.startswith(prefix):
                continue
            if delimiter and delimiter in rest:
                prefixes.add(prefix + rest.split(delimiter)[0] + delimiter)
            else:
                items.append(described(name, *kept))
        answer = {"kind": "storage#objects", "items": items, "prefixes": sorted(prefixes)}
        return self.answer(200, answer)

    def copy(self, source, how, target):
        """An object under another name."""
        if source not in self.server.objects:
            return self.answer(404)
        with self.server.changing:
            content = self.server.objects[source][1]
            kept = self.server.objects[target] = (next(self.server.generations), content)
            if how == "moveTo":
                del self.server.objects[source]
        about = described(target, *kept)
        done = {"done": True, "resource": about, "totalBytesRewritten": about["size"]}
        return self.answer(
            200, done | {"objectSize": about["size"]} if how == "rewriteTo" else about
        )

    def delete(self, name):
        """Forget an object."""
        with self.server.changing:
            return self.answer(204 if self.server.objects.pop(name, None) else 404)
