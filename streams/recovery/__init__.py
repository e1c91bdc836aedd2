"""Stage `recover`: alerts, follow-ups and actions of teams in; cases out."""
