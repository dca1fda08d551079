"""Names of the files that lie in folders of weights. Importing this imports nothing."""

MODEL_FILES = ("*.json", "*.safetensors", "*.md", "*.txt")
"""What is fetched of a Hub repository, never code; a tokenizer may keep its merges as text."""

ADAPTERS_FILE = "adapters.json"
"""In a folder of adapters alone: which parts there are, and what they were trained upon."""

ORIGIN_FILE = "ldrestore.json"
"""Beside a converted model: where the weights come from, and their licence."""
