"""DICOM: files found by content, joined to series, judged, and read as one volume each."""
