"""Small networks in plain torch for embedded data: trained from scratch in seconds."""
