package api

// Problem is the answer to a request that failed: problem details (RFC 9457).
type Problem struct {
	Title  string `json:"title" example:"Not Found" doc:"The status in words."`
	Status int    `json:"status" example:"404" doc:"The HTTP status."`
	Detail string `json:"detail" example:"There is no service of that name. List the services with GET /admin/v1/services, or create it first." doc:"What is wrong, and what to do."`
	Code   string `json:"code" example:"service_not_found" doc:"What is wrong, as a word for programs. The audit log has it as the reason."`
	See    string `json:"see,omitempty" example:"docs/errors.md#service_not_found" doc:"The place in the documentation that explains the code."`
	// Errors are the values that are not allowed, or the mistakes in files, each with its place.
	Errors []ProblemDetail `json:"errors,omitempty" nullable:"false" doc:"Each problem, and where it is."`
}

// ProblemDetail is one of several problems.
type ProblemDetail struct {
	Message  string `json:"message,omitempty" example:"must be a network such as 10.0.0.0/8" doc:"What is wrong."`
	Location string `json:"location,omitempty" example:"body.cidr" doc:"Where: a member of the body, a parameter, or a file."`
}
