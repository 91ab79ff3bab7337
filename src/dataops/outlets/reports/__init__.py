"""Reports as files: a workbook, a paper, a page and plain rows, all out of one document."""
