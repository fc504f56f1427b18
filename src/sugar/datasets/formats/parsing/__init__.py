"""What several readers share: numbers, tables, tracks of people, names."""
