"""Parts of the trainer of the small language model (see ../train_llm.py)."""
