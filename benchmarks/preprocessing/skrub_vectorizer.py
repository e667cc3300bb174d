"""skrub's TableVectorizer, with one-hot up to Adult's 41 levels and the same steps for numbers."""


def make(X):
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from skrub import TableVectorizer

    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=2, sparse_output=False
    )
    scaler = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    return TableVectorizer(cardinality_threshold=60, low_cardinality=encoder, numeric=scaler)
