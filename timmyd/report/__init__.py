"""The intelligence report: data first, then text, then one self-contained page."""
