"""The steps from an empty database to the tables of today, one module a step. A step once released is never changed."""
