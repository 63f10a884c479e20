"""Pictures of finished runs for papers and slides: told apart by shape as well as by colour."""
