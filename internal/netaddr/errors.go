package netaddr

import "errors"

// IsTaken reports whether a listener failed because another one has its address.
func IsTaken(err error) bool { return errors.Is(err, taken) }

// IsRefused reports whether a connection failed because nothing listens at the address.
func IsRefused(err error) bool { return errors.Is(err, refused) }
