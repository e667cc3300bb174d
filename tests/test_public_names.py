"""What `import mlfund` offers, and what it must not load."""

import subprocess
import sys

import pytest

import mlfund

# Loaded where they are used, never by naming a public class.
LAZY = ["xgboost", "skrub", "matplotlib", "torchvision", "transformers", "dask"]


def loaded_after(statement, modules):
    """The modules among `modules` that a fresh interpreter has loaded after `statement`."""
    program = f"{statement}\nimport sys\nprint(*[m for m in {modules!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.splitlines()[-1].split()


def test_public_names_are_pinned():
    assert mlfund.__all__ == [
        "AdvisorClassifier",
        "AdvisorRegressor",
        "Autoencoder",
        "Backbone",
        "BackboneFeatures",
        "BatchedGridSearchCV",
        "BatchedHalvingGridSearchCV",
        "BatchedHalvingRandomSearchCV",
        "BatchedRandomizedSearchCV",
        "CNNClassifier",
        "CNNRegressor",
        "ContrastiveEncoder",
        "EmbeddingCache",
        "ImageScaler",
        "ImageTransferClassifier",
        "ImageTransferRegressor",
        "LinearRegressor",
        "LogisticRegression",
        "LogisticRegressionCV",
        "MLPClassifier",
        "MLPRegressor",
        "MaskedAutoencoder",
        "NeuralClassifier",
        "NeuralRegressor",
        "ParametricRegressor",
        "PixelRows",
        "SnapshotEvery",
        "TablePreprocessor",
        "TextTransferClassifier",
        "TextTransferRegressor",
        "ZeroShotImageClassifier",
        "advise",
        "cross_validate",
        "diagnose",
        "find_learning_rate",
        "load",
        "load_image_folder",
        "plot_augmentation",
        "save",
        "trusted_types",
    ]


@pytest.mark.parametrize("name", mlfund.__all__)
def test_public_name_resolves_and_is_documented(name):
    thing = getattr(mlfund, name)

    assert thing.__doc__
    assert thing.__name__ == name


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mlfund.nothing


def test_dir_lists_public_names():
    assert set(mlfund.__all__) <= set(dir(mlfund))


def test_import_alone_loads_no_torch():
    assert loaded_after("import mlfund", ["torch", "sklearn", "pandas"]) == []


def test_help_loads_no_torch():
    statement = (
        "from mlfund.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as stop:\n    assert not stop.code"
    )

    assert loaded_after(statement, ["torch", "sklearn", "pandas"]) == []


def test_resolving_every_name_loads_nothing_heavy():
    statement = "import mlfund\n[getattr(mlfund, name) for name in mlfund.__all__]"

    assert loaded_after(statement, LAZY) == []
