//! Bandwidth limits as people write them: quantities, annotations, limit ranges, bursts and their precedence.
