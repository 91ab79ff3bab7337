"""Read models: what people look at, one frozen document per thing; personal data is masked here."""
