"""The one thing that pyproject.toml cannot say: extensions that may be missing.

Without a C compiler the package installs all the same: the solvers that need the kernels are
not chosen, and images are embedded by other means.
"""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "mlfund._solvers._kernels",
            [
                "mlfund/_solvers/_kernels.c",
                "mlfund/_solvers/_dense_pass.c",
                "mlfund/_solvers/_proximal_models.c",
                "mlfund/_solvers/_stacked_pass.c",
            ],
            depends=["mlfund/_solvers/_vectors.h"],
            optional=True,
        ),
        Extension(
            "mlfund.backbones._depthwise",
            ["mlfund/backbones/_depthwise.c"],
            optional=True,
        ),
    ]
)
