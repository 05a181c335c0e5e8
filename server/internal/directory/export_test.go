package directory

// RememberedUses is how many credentials are remembered as used.
func (d *Directory) RememberedUses() (n int) {
	d.uses.last.Range(func(any, any) bool { n++; return true })
	return n
}
