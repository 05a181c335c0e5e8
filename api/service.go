package api

import "time"

// Service calls other services, is called by them, or both.
type Service struct {
	UID  string `json:"uid" example:"svc_00112233445566778899aabbccddeeff" doc:"The identity of the service, which never changes. A service that is deleted and created again under the same name has another uid."`
	Name string `json:"name" example:"m1" doc:"The unique name, which is the sub and aud of tokens."`
	ServiceSettings
	ManagedBy string    `json:"managedBy" example:"callmap" doc:"The owner, which is managed-by of its call map file. Empty if the service belongs to no file."`
	Version   int64     `json:"version" example:"1" doc:"The number of changes. In quotes, it is the ETag."`
	CreatedAt time.Time `json:"createdAt" example:"2026-11-24T12:00:00Z" doc:"When the service was created."`
	UpdatedAt time.Time `json:"updatedAt" example:"2026-11-24T12:00:00Z" doc:"When the service was last changed."`
}

// NewService is the body of a request that creates a service. Settings that it does not name are empty.
type NewService struct {
	Name string `json:"name" maxLength:"128" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]*$" patternDescription:"letters, digits, '.', '_' and '-', beginning with a letter or a digit" example:"m1" doc:"1 to 128 letters, digits, '.', '_' and '-', beginning with a letter or a digit."`
	ServicePatch
}

// ServiceList is a page of services.
type ServiceList struct {
	Services      []Service `json:"services" nullable:"false" doc:"The services, ordered by name."`
	NextPageToken string    `json:"nextPageToken,omitempty" doc:"The pageToken of the next page. Absent on the last page."`
}
