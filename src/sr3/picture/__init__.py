"""Pictures: files in and out, what people hold them in, their metadata, and resampling."""
