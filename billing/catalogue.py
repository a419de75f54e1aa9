"""The catalogue that a new installation starts with (DESIGN: Catalogue); from then on the database has it."""

from billing.models import Product

EARNS = (True, True, True)
PAYS = (False, True, True)
CASH_ONLY = (False, False, False)

Family = Product.Family

PRODUCTS: list[tuple[str, str, str, tuple[bool, bool, bool]]] = [
    ("ecs", "Elastic Compute Service", Family.ECS, EARNS),
    ("ecs-gpu", "GPU instances", Family.ECS, EARNS),
    ("ecs-bare-metal", "Bare Metal instances", Family.ECS, EARNS),
    ("auto-scaling", "Auto Scaling", Family.ECS, EARNS),
    ("oss", "Object Storage Service", Family.STORAGE_CDN, EARNS),
    ("nas", "File Storage NAS", Family.STORAGE_CDN, EARNS),
    ("block-storage", "Block Storage", Family.STORAGE_CDN, EARNS),
    ("backup", "Cloud Backup", Family.STORAGE_CDN, EARNS),
    ("cdn", "Content Delivery Network", Family.STORAGE_CDN, PAYS),
    ("vpc", "Virtual Private Cloud", Family.NETWORKING, EARNS),
    ("slb", "Server Load Balancer", Family.NETWORKING, EARNS),
    ("eip", "Elastic IP Address", Family.NETWORKING, EARNS),
    ("nat-gateway", "NAT Gateway", Family.NETWORKING, EARNS),
    ("vpn-gateway", "VPN Gateway", Family.NETWORKING, EARNS),
    ("rds", "Relational Database Service", Family.DATABASES, EARNS),
    ("polardb", "PolarDB", Family.DATABASES, EARNS),
    ("redis", "Database for Redis", Family.DATABASES, EARNS),
    ("mongodb", "Database for MongoDB", Family.DATABASES, EARNS),
    ("analyticdb", "AnalyticDB", Family.DATABASES, EARNS),
    ("waf", "Web Application Firewall", Family.SECURITY, EARNS),
    ("anti-ddos", "Anti-DDoS", Family.SECURITY, EARNS),
    ("security-center", "Security Center", Family.SECURITY, EARNS),
    ("kms", "Key Management Service", Family.SECURITY, EARNS),
    ("certificates", "SSL Certificates", Family.SECURITY, EARNS),
    ("maxcompute", "MaxCompute", Family.ANALYTICS, EARNS),
    ("emr", "E-MapReduce", Family.ANALYTICS, EARNS),
    ("dataworks", "DataWorks", Family.ANALYTICS, EARNS),
    ("flink", "Realtime Compute for Flink", Family.ANALYTICS, EARNS),
    ("elasticsearch", "Elasticsearch", Family.ANALYTICS, EARNS),
    ("machine-learning", "Machine Learning Platform", Family.AI, PAYS),
    ("image-search", "Image Search", Family.AI, PAYS),
    ("speech", "Intelligent Speech Interaction", Family.AI, PAYS),
    ("kubernetes", "Container Service for Kubernetes", Family.CONTAINERS, PAYS),
    ("container-registry", "Container Registry", Family.CONTAINERS, PAYS),
    ("message-queue", "Message Queue", Family.CONTAINERS, PAYS),
    ("api-gateway", "API Gateway", Family.CONTAINERS, PAYS),
    ("function-compute", "Function Compute", Family.CONTAINERS, PAYS),
    ("cloud-monitor", "Cloud Monitor", Family.MANAGEMENT, PAYS),
    ("log-service", "Log Service", Family.MANAGEMENT, PAYS),
    ("action-trail", "Action Trail", Family.MANAGEMENT, PAYS),
    ("live", "Live Streaming", Family.MEDIA, PAYS),
    ("media-processing", "Media Processing", Family.MEDIA, PAYS),
    ("direct-mail", "Direct Mail", Family.MEDIA, PAYS),
    ("short-message", "Short Message Service", Family.MEDIA, PAYS),
    ("simple-app-server", "Simple Application Server", Family.SIMPLE_APPLICATION_SERVICE, CASH_ONLY),
    ("web-hosting", "Web Hosting", Family.WEB_HOSTING, CASH_ONLY),
    ("domain", "Domain registration", Family.DOMAINS, CASH_ONLY),
    ("dns", "DNS", Family.DNS, CASH_ONLY),
    ("marketplace", "Marketplace", Family.MARKETPLACE, CASH_ONLY),
]
"""Code, name, family, and whether it earns credit, accepts credit and accepts the trial."""
