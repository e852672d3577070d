"""The report on a trained recognition probe, from its run and the slots it was trained on."""

import numpy as np
from ml_collections import ConfigDict

from data_pipelines.sources import open_split
from dias_jax.config.checks import check_config
from dias_jax.downstream.average_precision import class_precision
from dias_jax.errors import UserError
from dias_jax.gallery.recognition import Readings, write_report
from dias_jax.tasks.probing import header_of
from dias_jax.tasks.recognition import open_reading, protocol_line


def write_probe_report(config, workdir, split, out, count):
    """Write the report on a probe's best checkpoint into `out`: -> the paths, as `write_report`.

    config: that of the run in `workdir`; split: of its slots; count: wrong and right things shown.
    Raises UserError where the data that the slots are of cannot be opened, or shows random views.
    """
    check_config(config)
    header = header_of(config, split)
    reading, step = open_reading(config, workdir, split, "best")
    data = reading.data
    views = EvaluationViews(config, header, data["index"], data["frame"])
    of_things = ("slot", "iou", "classes", "boxes")
    readings = Readings(
        images=views,
        segments=data["segments"],
        **{name: data[name] for name in of_things},
        logits=reading.logits,
        predicted_boxes=reading.boxes,
        is_kept=reading.is_kept,
    )
    precision = class_precision(*reading.for_precision)
    precision = {number: values[0] for number, values in precision.items()}
    facts = [protocol_line(config, split), f"step {step}, {len(views)} images"]
    title = f"Recognition on {header['data']}"
    return write_report(out, readings, precision, header["class_names"], title, facts, count)


class EvaluationViews:
    """The images of a cache's samples, by place: drawn or read when they are looked at."""

    def __init__(self, config, header, clips, frames):
        if header["views"]:
            raise UserError(
                f"{config.probe.slots}/{header['split']} holds random views, which are not kept: "
                "choose a split that was extracted without --views"
            )
        names = {"name": "data", "image_size": "image_size", "seed": "data_seed"}
        self.data_config = ConfigDict(config.data.to_dict())
        self.data_config.update({key: header[name] for key, name in names.items()})
        split, window = header["split"], header["window"]
        self.source = open_split(self.data_config, split, clip_frames=window)
        self.places = np.column_stack([clips, frames])

    def __len__(self):
        return len(self.places)

    def __getitem__(self, place):
        clip, frame = self.places[place]
        image = self.source.evaluation_view(self.source[clip], self.data_config)[0]
        return image[frame] if self.source.max_frames else image
