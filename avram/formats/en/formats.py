"""English, for people who compare times with logs. What the server alone writes names its zone."""

DATE_FORMAT = "Y-m-d"
DATETIME_FORMAT = "Y-m-d H:i:s e"
