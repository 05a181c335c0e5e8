package grpcauth

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/watchword-dev/watchword/client"
)

// Stream is a grpc.StreamClientInterceptor. If the server refuses a stream with Unauthenticated, the stream is
// started once more with another token, provided that the client sends only one message, as in server-streaming
// calls. A stream on which the client sends several messages cannot be started again and fails, but the token is
// renewed for the next one. The token is checked at the start of a stream only, however long the stream lasts.
func (c *Caller) Stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	token, err := c.token(ctx)
	if err != nil {
		return nil, err
	}
	begin := func(token client.Token) (grpc.ClientStream, error) {
		return open(ctx, desc, conn, method, c.with(opts, token)...)
	}
	s, err := begin(token)
	if err != nil {
		return nil, err
	}
	return &stream{ClientStream: s, ctx: ctx, caller: c, token: token, begin: begin, once: !desc.ClientStreams}, nil
}

// stream starts again if the first answer is a refusal.
type stream struct {
	ctx    context.Context
	caller *Caller
	token  client.Token
	begin  func(client.Token) (grpc.ClientStream, error)
	once   bool // the client sends only one message

	mu sync.Mutex // sending, receiving and reading headers may be concurrent
	grpc.ClientStream
	sent     proto.Message
	answered bool
}

func (s *stream) current() grpc.ClientStream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ClientStream
}

func (s *stream) SendMsg(m any) error {
	if p, ok := m.(proto.Message); ok && s.once {
		s.mu.Lock()
		s.sent = proto.Clone(p) // the caller may reuse the message after sending
		s.mu.Unlock()
	}
	return s.current().SendMsg(m)
}

func (s *stream) CloseSend() error             { return s.current().CloseSend() }
func (s *stream) Trailer() metadata.MD         { return s.current().Trailer() }
func (s *stream) Context() context.Context     { return s.current().Context() }
func (s *stream) Header() (metadata.MD, error) { return s.current().Header() }

func (s *stream) RecvMsg(m any) error {
	err := s.current().RecvMsg(m)
	s.mu.Lock()
	first := !s.answered
	s.answered = true
	sent := s.sent
	s.mu.Unlock()
	if !first || status.Code(err) != codes.Unauthenticated {
		return err
	}
	token, ok := s.caller.source.Renewed(s.ctx, s.token)
	if !ok || sent == nil {
		return err
	}
	again, beginErr := s.begin(token)
	if beginErr != nil {
		return beginErr
	}
	s.mu.Lock()
	s.ClientStream = again
	s.mu.Unlock()
	// If sending fails with io.EOF, receiving returns the cause.
	if err := again.SendMsg(sent); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := again.CloseSend(); err != nil {
		return err
	}
	return again.RecvMsg(m)
}
