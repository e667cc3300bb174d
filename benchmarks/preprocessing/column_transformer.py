"""scikit-learn's own pieces, as its user guide puts them together for mixed tables."""

from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def make(X):
    numbers = X.select_dtypes("number").columns.tolist()
    categories = [name for name in X if name not in numbers]
    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=2, sparse_output=False
    )
    scaler = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    return make_column_transformer((scaler, numbers), (encoder, categories))
