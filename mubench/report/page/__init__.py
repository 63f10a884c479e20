"""One HTML file of finished runs: leaderboard, tasks, pictures, every run. It needs no network."""
