package web

import (
	"errors"
	"io"
	"net/http"
)

// Requests whose body is still on its way are not worked on, and do not count as such: who sends
// slowly, or not at all, would keep all others out (CWE-400). They are bounded apart. Bodies of tokens
// are short. Few of those that are not may arrive at once, so that the memory they take is bounded,
// and short ones need not wait for them.
const (
	maxArriving = MaxWaiting
	shortBody   = 16 << 10
	maxLong     = 256
)

var errShed = errors.New("turned away while the body arrived")

// arriving is a body that is read from the client.
type arriving struct {
	io.ReadCloser
	stack *Stack
	read  int
	long  bool
	shed  bool // the request is to be turned away
}

// expect has the body of r counted while it arrives. It is not there when there are too many.
func (s *Stack) expect(r *http.Request) (body *arriving, there bool) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, true
	}
	body = &arriving{ReadCloser: r.Body, stack: s}
	r.Body = body
	return body, s.arriving.Add(1) <= maxArriving
}

// Read counts out the request for as long as it waits for the client.
func (b *arriving) Read(p []byte) (int, error) {
	s := b.stack
	if b.shed || b.read >= shortBody && !b.isLong() {
		b.shed = true
		return 0, errShed
	}
	if !b.long { // in bounds, whatever size the reader has in mind
		p = p[:min(len(p), shortBody-b.read)]
	}
	s.inFlight.Add(-1)
	n, err := b.ReadCloser.Read(p)
	if s.inFlight.Add(1) > s.most {
		b.shed = true
		return 0, errShed
	}
	b.read += n
	return n, err
}

// isLong makes b one of the long ones, if there is place.
func (b *arriving) isLong() bool {
	if !b.long {
		b.long = b.stack.long.Add(1) <= maxLong
		if !b.long {
			b.stack.long.Add(-1)
		}
	}
	return b.long
}

// end says that the request was answered, or is about to be, and whether it was turned away
// meanwhile.
func (b *arriving) end() (shed bool) {
	if b == nil {
		return false
	}
	b.stack.arriving.Add(-1)
	if b.long {
		b.stack.long.Add(-1)
	}
	return b.shed
}
