"""Where bytes come from: serial ports, TCP, recordings. Each opens, reads, closes, and nothing more."""
