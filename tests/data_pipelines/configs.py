"""The keys of a config's `data` section that the pipeline reads."""

import types


def data_config(name, data_dir, image_size):
    return types.SimpleNamespace(
        name=name,
        data_dir=str(data_dir),
        image_size=image_size,
        clip_frames=5,
        crop_scale=(0.75, 1.0),
        flip=True,
        seed=0,
        keep_in_memory=False,
        skip_damaged=False,
    )
