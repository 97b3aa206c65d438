"""What a reconstruction needs: time, memory and disk."""
