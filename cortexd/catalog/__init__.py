"""Models, prices and capabilities as data (models.toml) and their lookup."""

from cortexd.catalog.lookup import Catalog, Model, builtin_catalog

__all__ = ["Catalog", "Model", "builtin_catalog"]
