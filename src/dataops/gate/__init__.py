"""The validation gateway: Soda and Great Expectations judge a batch, the platform draws the consequence."""
