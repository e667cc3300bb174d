"""mlfund's TablePreprocessor with its defaults."""

import mlfund


def make(X):
    return mlfund.TablePreprocessor()
