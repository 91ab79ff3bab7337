"""Files of any project as a source: text and Parquet, as the contracts say that they are written."""
