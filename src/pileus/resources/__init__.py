"""What hangs on objects of any kind: tags, annotations, icons, details; and what an operator looks at first."""
