"""Each requested call once, whichever sources show it: documents, rows and lines of a lineage."""
