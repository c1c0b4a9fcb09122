"""Facets: the values of each column with their counts, and the filters that a click on one makes."""
