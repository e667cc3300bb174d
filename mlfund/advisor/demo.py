"""The bundled demonstration data: the Adult table of the UCI repository."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

ADULT_FILE = "adult.parquet"
ADULT_TARGET = "income"


def load_adult_frame() -> pd.DataFrame:
    """Return the whole Adult table, target column included.

    Returns
    -------
    frame : DataFrame of shape (48842, 15)
        The columns as `load_adult` describes them, and ``income``.
    """
    import pandas as pd

    with (resources.files("mlfund") / "data" / ADULT_FILE).open("rb") as file:
        return pd.read_parquet(file)


def load_adult() -> tuple[pd.DataFrame, pd.Series]:
    """Return the Adult data: who earns more than 50,000 dollars a year.

    48,842 people of the 1994 United States census, six numeric and eight
    categorical columns, 6,465 missing cells; 23.9 % are in the class ``">50K"``.
    The table ships with the package, so this works offline.

    Returns
    -------
    X : DataFrame of shape (48842, 14)
        Integers, and category columns with missing values as null.
    y : Series of shape (48842,)
        ``"<=50K"`` or ``">50K"``, as a category column named ``income``.

    References
    ----------
    Becker, B. and Kohavi, R. (1996). Adult [data set]. UCI Machine Learning
    Repository. https://doi.org/10.24432/C5XW20. Licence: CC BY 4.0.

    Examples
    --------
    >>> X, y = load_adult()
    >>> X.shape
    (48842, 14)
    >>> y.value_counts().to_dict()
    {'<=50K': 37155, '>50K': 11687}
    """
    frame = load_adult_frame()
    return frame.drop(columns=ADULT_TARGET), frame[ADULT_TARGET]
