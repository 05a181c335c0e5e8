module github.com/watchword-dev/watchword/grpcauth

go 1.26.0

require (
	github.com/watchword-dev/watchword v0.0.0
	google.golang.org/grpc v1.85.0
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/go-jose/go-jose/v4 v4.1.9 // indirect
	github.com/go-json-experiment/json v1.27.2 // indirect
	golang.org/x/net v0.60.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260817212433-ac3dfec99bb1 // indirect
)

// For work inside the repository. Whoever imports this module gets the version required above: a
// release tags the main module first, requires that version here, and then tags grpcauth/vX.Y.Z.
replace github.com/watchword-dev/watchword => ../
