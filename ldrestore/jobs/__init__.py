"""Many pictures, one after another: what is asked of them, where each goes, and what became of it; prints nothing."""
