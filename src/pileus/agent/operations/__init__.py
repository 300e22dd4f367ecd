"""Operations by subject: each function does one kind of operation that management may ask for."""
