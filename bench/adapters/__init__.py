"""What the comparison harness needs to know about HSU Master."""
