"""From files to batches on the device; every file is bounded and verified before it is believed."""
