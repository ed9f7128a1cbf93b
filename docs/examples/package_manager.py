from llm_router import LLMRouter, TaskType

class PackageManagerWrapper:
    def __init__(self):
        self.router = LLMRouter()

    def install(self, package_description: str):
        """Install package based on natural language description."""
        response = self.router.complete(
            messages=[
                {"role": "system", "content": "You are a package manager expert."},
                {"role": "user", "content": f"Install: {package_description}"}
            ],
            task_type=TaskType.SYSTEM_OPERATION
        )

        # Kimi K2 will handle this with superior agentic capabilities
        return response.content

print(PackageManagerWrapper().install("a web server that serves static files"))
