import os

# set before anything imports torch or transformers: no test may reach a hub
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
