module github.com/watchword-dev/watchword/spiffeauth

go 1.26.0

require (
	github.com/spiffe/go-spiffe/v2 v2.9.0
	github.com/watchword-dev/watchword v0.0.0
	google.golang.org/grpc v1.85.0
)

require (
	github.com/Microsoft/go-winio v0.6.3 // indirect
	github.com/go-jose/go-jose/v4 v4.1.9 // indirect
	github.com/go-json-experiment/json v1.27.2 // indirect
	go.yaml.in/yaml/v3 v3.0.6 // indirect
	golang.org/x/net v0.61.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20261005182115-fad411399dd8 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

// For work inside the repository. Whoever imports this module gets the version required above: a
// release tags the main module first, requires that version here, and then tags spiffeauth/vX.Y.Z.
replace github.com/watchword-dev/watchword => ../
