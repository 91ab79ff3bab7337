"""The generated site under `data_docs/`: static pages, made from the ledger and from what gate runs kept."""
