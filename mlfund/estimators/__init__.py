"""scikit-learn estimators; every public class is re-exported by `mlfund`."""
