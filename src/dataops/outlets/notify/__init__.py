"""What people are told: stories made of facts, written as Slack messages and mails, and the relay that sends them."""
