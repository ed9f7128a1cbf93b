"""Models, prices and capabilities as data (models.toml) and their lookup."""

from cortexd.catalog.lookup import Catalog, Model, builtin_catalog
from cortexd.catalog.served import Said, with_said

__all__ = ["Catalog", "Model", "Said", "builtin_catalog", "with_said"]
