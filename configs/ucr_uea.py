"""Any data set of the UCR and UEA archives, by its name: configs/ucr_uea.py:NATOPS.

    python main.py --config=configs/ucr_uea.py:NATOPS --workdir=runs/NATOPS

Further arguments follow its name: `:NATOPS,smoke`. The file NATOPS.zip is looked for in
L2D_DATA_DIR, then downloaded from timeseriesclassification.com. Series are used whole,
or cut into windows by --config.data.window.

Expected: depends on the set; compare with the floor that the report shows beside each
score. Time: not measured. With the length of the series the encoder's grows, the data
stage's hardly, as its patches grow too.
"""

from l2d_jax.configs import base
from l2d_jax.types import InputError


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    name, _, rest = argument.partition(",")
    if not name:
        raise InputError("name a data set: --config=configs/ucr_uea.py:NATOPS")
    config = base.get_config()
    config.data.name = name
    base.any_series(config)
    config.data_stage.batch_size = 64
    return base.with_argument(config, rest)
